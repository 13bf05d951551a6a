"""What a model's answer rests on: the places of a picture, or the columns of a row."""
