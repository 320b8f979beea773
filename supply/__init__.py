"""What goes into the artifacts, from which source, and with which known vulnerabilities?"""
