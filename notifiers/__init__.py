"""The ways out: a `Message` in, a `Receipt` or a `SendError` out; and what a message says, as links, HTML and bytes."""
