"""What differs between the model APIs a door can lead to. Each vendor is a few pure modules; the proxy is the same for all."""
