"""The soak: the campaign's calls for as long as is asked, and whether anything grows."""
