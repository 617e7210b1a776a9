"""`photochrom bench`: seconds by stage and their bounds."""
