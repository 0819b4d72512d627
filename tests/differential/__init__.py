"""Small applications, each run without the package and with it; what they saw is compared."""
