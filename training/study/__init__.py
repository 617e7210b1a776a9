"""Studies: variants of a recipe, each trained with the same number of images and measured on the same photographs."""
