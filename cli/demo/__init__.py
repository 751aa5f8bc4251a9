"""`./async-code demo`: the main job, from a bare machine to a pushed branch whose test passes."""
