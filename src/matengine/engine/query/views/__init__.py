"""Views: questions with a name. They are no tables: each is asked at the moment of its reader."""
