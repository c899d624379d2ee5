"""The interceptors that come with the gateway, one file each."""
