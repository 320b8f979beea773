"""The pictures of docs/pictures, drawn from runs: `make pictures`."""
