#!/bin/sh
# Starts Oracle Database Free in a container, without TLS. docs/servers.md says how to run the tests on it. NEVER RUN.
set -eu

docker run --detach --name oracle --publish 127.0.0.1:1521:1521 --env ORACLE_PASSWORD=secret gvenzl/oracle-free:23-slim-faststart
timeout 900 sh -c 'until docker logs oracle 2>&1 | grep --quiet "DATABASE IS READY TO USE"; do sleep 2; done'
