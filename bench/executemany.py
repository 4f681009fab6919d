"""Inserts rows the way a simple client does, and prints rows and seconds.

Usage: executemany.py DSN SOURCE TARGET ROWS_PER_COMMIT
"""

import sys
import time

import psycopg2

dsn, source, target, size = sys.argv[1:4] + [int(sys.argv[4])]
connection = psycopg2.connect(dsn)
cursor = connection.cursor()
cursor.execute(f"SELECT * FROM {source} ORDER BY block_num, log_index")
rows = cursor.fetchall()
insert = f"INSERT INTO {target} VALUES ({', '.join(['%s'] * len(rows[0]))})"
connection.commit()

began = time.perf_counter()
for i in range(0, len(rows), size):
    cursor.executemany(insert, rows[i : i + size])
    connection.commit()
print(len(rows), time.perf_counter() - began)
