#!/bin/sh
# Starts Db2 in a container, with TLS for localhost and what the tests need of RDS. docs/servers.md says how to run the
# tests on it. NEVER RUN. A container is no RDS: it has no RDSADMIN. This makes one, in which a shell does what RDS does;
# of roles and authorities that RDS grants by procedure it knows nothing.
set -eu
cd "$(dirname "$0")/../../.."

docker run --detach --name db2 --privileged --publish 127.0.0.1:50443:50443 \
    --env LICENSE=accept --env DB2INST1_PASSWORD=Master-1 --env DBNAME=TESTDB icr.io/db2_community/db2:12.1.2.0
timeout 1800 sh -c 'until docker logs db2 2>&1 | grep --quiet "Setup has completed"; do sleep 5; done'

# TLS on 50443, with a certificate for localhost
docker exec --interactive db2 su - db2inst1 <<'EOF'
gsk8capicmd_64 -keydb -create -db server.p12 -pw Key-1 -type pkcs12 -stash
gsk8capicmd_64 -cert -create -db server.p12 -stashed -label db2 -dn CN=localhost -san_dnsname localhost \
    -size 2048 -sigalg SHA256_WITH_RSA
gsk8capicmd_64 -cert -extract -db server.p12 -stashed -label db2 -target db2.pem -format ascii
db2 update dbm cfg using SSL_SVR_KEYDB $HOME/server.p12 SSL_SVR_STASH $HOME/server.sth SSL_SVR_LABEL db2 SSL_SVCENAME 50443
db2set DB2COMM=TCPIP,SSL
db2stop force; db2start
db2 create database RDSADMIN; db2 connect to TESTDB
for role in ROLE_NULLID_PACKAGES ROLE_TABLESPACES ROLE_PROCEDURES; do db2 create role $role; done
EOF
mkdir -p .local
docker cp db2:/database/config/db2inst1/db2.pem .local/db2.pem

# RDSADMIN: a table of tasks, and procedures that write into it
docker exec --interactive db2 su - db2inst1 -c 'db2 connect to RDSADMIN && db2 -td@' <<'EOF' || test $? -lt 4 # below: no row, a warning
CREATE TABLE RDSADMIN.TASKS (TASK_ID INTEGER NOT NULL GENERATED ALWAYS AS IDENTITY, TASK_TYPE VARCHAR(30),
    DATABASE_NAME VARCHAR(8), LIFECYCLE VARCHAR(12) DEFAULT 'CREATED', TASK_OUTPUT CLOB, A VARCHAR(255), B VARCHAR(255),
    C VARCHAR(255))@
CREATE TABLE RDSADMIN.PEOPLE (LINE VARCHAR(500))@
CREATE FUNCTION RDSADMIN.GET_TASK_STATUS (N INTEGER, D VARCHAR(8), T VARCHAR(30)) RETURNS TABLE (TASK_ID INTEGER,
    TASK_TYPE VARCHAR(30), DATABASE_NAME VARCHAR(8), LIFECYCLE VARCHAR(12), TASK_OUTPUT CLOB) LANGUAGE SQL READS SQL DATA
    RETURN SELECT TASK_ID, TASK_TYPE, DATABASE_NAME, LIFECYCLE, TASK_OUTPUT FROM RDSADMIN.TASKS WHERE TASK_ID =
    COALESCE(N, TASK_ID) AND TASK_TYPE = COALESCE(UPPER(T), TASK_TYPE)@
CREATE PROCEDURE RDSADMIN.ADD_USER (IN U VARCHAR(255), IN P VARCHAR(255), IN G VARCHAR(255) DEFAULT '') LANGUAGE SQL
    INSERT INTO RDSADMIN.TASKS (TASK_TYPE, A, B, C) VALUES ('ADD_USER', U, P, G)@
CREATE PROCEDURE RDSADMIN.CHANGE_PASSWORD (IN U VARCHAR(255), IN P VARCHAR(255)) LANGUAGE SQL
    INSERT INTO RDSADMIN.TASKS (TASK_TYPE, A, B) VALUES ('CHANGE_PASSWORD', U, P)@
CREATE PROCEDURE RDSADMIN.ADD_GROUPS (IN U VARCHAR(255), IN G VARCHAR(255)) LANGUAGE SQL
    INSERT INTO RDSADMIN.TASKS (TASK_TYPE, A, C) VALUES ('ADD_GROUPS', U, G)@
CREATE PROCEDURE RDSADMIN.REMOVE_GROUPS (IN U VARCHAR(255), IN G VARCHAR(255)) LANGUAGE SQL
    INSERT INTO RDSADMIN.TASKS (TASK_TYPE, A, C) VALUES ('REMOVE_GROUPS', U, G)@
CREATE PROCEDURE RDSADMIN.LIST_USERS () LANGUAGE SQL DYNAMIC RESULT SETS 1
    BEGIN DECLARE C CURSOR WITH RETURN FOR SELECT LINE FROM RDSADMIN.PEOPLE; OPEN C; END@
EOF

# What RDS does: as root, in a shell that stays
docker exec --interactive db2 tee /rds.sh > /dev/null <<'EOF'
sql() { su - db2inst1 -c "db2 connect to RDSADMIN >/dev/null && db2 -x \"$1\""; }
while sleep 0.2; do
  getent passwd | awk -F: '$3 >= 1000 {print $1}' | while read -r u; do
    sql "MERGE INTO RDSADMIN.PEOPLE P USING (VALUES '$u' || X'09') V (L) ON P.LINE = V.L WHEN NOT MATCHED THEN INSERT VALUES L"
  done
  sql "SELECT TASK_ID || X'09' || TASK_TYPE || X'09' || A || X'09' || COALESCE(B, '-') || X'09' || COALESCE(C, '-') \
       FROM RDSADMIN.TASKS WHERE LIFECYCLE = 'CREATED' ORDER BY TASK_ID" | while IFS=$'\t' read -r id kind user password groups; do
    for g in ${groups//[,-]/ }; do groupadd -f "$g"; done
    case $kind in
      ADD_USER) useradd "$user" && chpasswd <<<"$user:$password"; for g in ${groups//[,-]/ }; do usermod -aG "$g" "$user"; done;;
      CHANGE_PASSWORD) chpasswd <<<"$user:$password";;
      ADD_GROUPS) for g in ${groups//[,-]/ }; do usermod -aG "$g" "$user"; done;;
      REMOVE_GROUPS) for g in ${groups//[,-]/ }; do gpasswd -d "$user" "$g"; done;;
    esac
    sql "UPDATE RDSADMIN.TASKS SET LIFECYCLE = 'SUCCESS' WHERE TASK_ID = $id"
  done
done
EOF
docker exec --detach db2 bash /rds.sh
