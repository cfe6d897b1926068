"""Second and third opinions on what compiled policies mean."""
