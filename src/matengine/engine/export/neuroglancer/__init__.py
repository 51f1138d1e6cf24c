"""Annotation tables as Neuroglancer reads them: precomputed annotations, segment properties.

https://neuroglancer-docs.web.app/datasource/precomputed/annotation.html
"""
