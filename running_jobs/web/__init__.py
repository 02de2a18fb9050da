"""The web face: one page by plain forms, and the API. Only this package and `app.py` know Flask."""
