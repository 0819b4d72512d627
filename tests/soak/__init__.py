"""The soak: mixed calls for as long as is asked, with the package and without, and what grows."""
