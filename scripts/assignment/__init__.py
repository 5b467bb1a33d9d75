"""Do Spark and plain Python put every unit into the same bucket, evenly, and independently from salt to salt?

`python -m scripts.assignment` writes docs/assignment.md, which also tells a service in another language how to do it.
"""
