"""Degradations: noise, blur, missing pixels, lower resolution, loss of colour and JPEG, with a level for each image."""
