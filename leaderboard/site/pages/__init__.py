"""One module per kind of page. Each turns the content of the site into pages and files."""
