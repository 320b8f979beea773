#!/bin/sh
# Starts SQL Server in a container, with TLS for localhost. docs/servers.md says how to run the tests on it. NEVER RUN.
set -eu
cd "$(dirname "$0")/../../.."

make .local/python/.complete
mkdir -p .local/mssql
.local/python/bin/python -c "from pathlib import Path; from tests.local.certificates import issue; issue(Path('.local/mssql'))"
printf '[network]\ntlscert = /tls/server.crt\ntlskey = /tls/server.key\ntlsprotocols = 1.2\nforceencryption = 1\n' > .local/mssql/mssql.conf
chmod 644 .local/mssql/* # the server is another user in there
docker run --detach --name sqlserver --publish 127.0.0.1:1433:1433 --env ACCEPT_EULA=Y --env MSSQL_SA_PASSWORD='Str0ng-enough!' \
    --volume "$PWD/.local/mssql:/tls:ro" --volume "$PWD/.local/mssql/mssql.conf:/var/opt/mssql/mssql.conf:ro" \
    mcr.microsoft.com/mssql/server:2022-latest
timeout 300 sh -c 'until docker logs sqlserver 2>&1 | grep --quiet "ready for client connections"; do sleep 2; done'
