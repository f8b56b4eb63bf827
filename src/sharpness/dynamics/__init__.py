"""The maths of the toy problems: objectives, and descents on them in double precision."""
