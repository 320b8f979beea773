"""Watches the rotation functions: did each rotation run, and can a function be deleted?"""

from rotation.watch.guard import guard_handler
from rotation.watch.overdue import overdue_handler

overdue = overdue_handler()
guard = guard_handler()
