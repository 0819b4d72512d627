"""Where an application meets the package: callback, middleware, Proxy, the socket of top."""
