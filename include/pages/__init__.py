"""Pages about one release, each a single file that loads nothing from elsewhere.

Made from what the warehouse recorded, so a page can be made again at any time.
"""
