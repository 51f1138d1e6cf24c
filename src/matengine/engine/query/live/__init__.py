"""Tables at moments between epochs: an epoch's rows, and the rows that differ from them."""
