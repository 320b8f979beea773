"""What goes into the artifacts, where does it come from, and what is known of it?"""
