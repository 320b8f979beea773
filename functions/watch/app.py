"""Watches the rotation functions: did each rotation run, can a function be deleted, and which secrets are attached?"""

from rotation.fleet.handler import rotate_all_handler
from rotation.watch.attach import attach_handler
from rotation.watch.engine_name import engine_handler
from rotation.watch.guard import guard_handler
from rotation.watch.overdue import overdue_handler

overdue = overdue_handler()
guard = guard_handler()
attach = attach_handler()
engine = engine_handler()
rotate_all = rotate_all_handler()
