"""S3: the client with its deadlines, the store, its errors, and the keys in the state bucket."""
