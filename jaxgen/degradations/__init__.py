"""What damages an image: noise, blur, holes, lost resolution and colour, JPEG; a level of its own for each image."""
