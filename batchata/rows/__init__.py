"""Rows of tables and files, the jobs made of them, and answers joined back to them."""
