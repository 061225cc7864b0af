"""What runs when. Each job body is a function of `now` that may run twice harmlessly."""
