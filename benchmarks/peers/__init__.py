"""The package beside its peers: what each costs, leaves behind, and tells of a call's end."""
