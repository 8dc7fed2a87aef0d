#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Many processes change one SQLite database, and some are killed in the middle.

usage: sqlite_load.py DATABASE JOURNAL_MODE SECONDS PROCESSES SEED

Money moves between accounts, each transfer with a row in a journal of its own; a process notes the
number of each transfer that SQLite said is committed. Readers check the sum in every transaction.
At the end the sum is right, every noted transfer is there, and PRAGMA integrity_check is content.
"""

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time

ACCOUNTS = 200
SUM = ACCOUNTS * 1000
PATIENCE_S = 120


def connect(path, mode):
    database = sqlite3.connect(path, timeout=PATIENCE_S, isolation_level=None)
    if database.execute(f"PRAGMA journal_mode={mode}").fetchone()[0] != mode.lower():
        sys.exit(f"no journal mode {mode}")
    database.execute("PRAGMA synchronous=FULL")
    database.execute("PRAGMA mmap_size=%d" % random.choice([0, 1 << 22]))
    return database


def total(database):
    return database.execute("SELECT sum(amount) FROM accounts").fetchone()[0]


def transfer(database, rng, who, number):
    a, b = rng.sample(range(ACCOUNTS), 2)
    database.execute("BEGIN IMMEDIATE")
    database.execute("UPDATE accounts SET amount = amount - 1 WHERE id = ?", (a,))
    database.execute("UPDATE accounts SET amount = amount + 1 WHERE id = ?", (b,))
    database.execute("INSERT INTO transfers VALUES (?, ?, ?)", (who, number, rng.randbytes(rng.choice([10, 100, 9000]))))
    if rng.random() < 0.1:
        database.execute("DELETE FROM transfers WHERE who = -1 AND number = ?", (number,))
        database.execute("ROLLBACK")
        return False
    database.execute("COMMIT")
    return True


def work(path, mode, who, seed):
    """Ends by a signal alone. Each committed number is one line on stdout, written at once."""
    rng = random.Random(seed)
    database = connect(path, mode)
    for number in range(10 ** 9):
        if rng.random() < 0.3:
            if total(database) != SUM:
                sys.exit(f"the sum is {total(database)}")
            if rng.random() < 0.05:
                database.execute("PRAGMA wal_checkpoint(TRUNCATE)" if mode == "WAL" else "PRAGMA incremental_vacuum").fetchall()
        elif transfer(database, rng, who, number):
            os.write(1, b"%d\n" % number)


def make(path, mode):
    database = connect(path, mode)
    database.execute("CREATE TABLE accounts (id INTEGER PRIMARY KEY, amount INTEGER)")
    database.execute("CREATE TABLE transfers (who INTEGER, number INTEGER, data BLOB, PRIMARY KEY (who, number))")
    database.execute("BEGIN")
    database.executemany("INSERT INTO accounts VALUES (?, 1000)", [(i,) for i in range(ACCOUNTS)])
    database.execute("COMMIT")
    database.close()


class Worker:
    def __init__(self, who, rng):
        self.who = who
        self.notes = f"{NOTES}/{who}"
        self.output = open(self.notes, "xb")
        self.process = subprocess.Popen([sys.executable, __file__, "--work", PATH, MODE, str(who), str(rng.getrandbits(40))],
                                        stdout=self.output, stderr=subprocess.PIPE)

    def end(self, faults):
        self.process.kill()
        said = self.process.communicate()[1].decode(errors="replace")
        if self.process.returncode != -signal.SIGKILL:
            faults.append(f"process {self.who} ended with {self.process.returncode}: {said}")

    def noted(self):
        with open(self.notes, "rb") as file:
            return [int(line) for line in file.read().splitlines()]


def run(seconds, processes, rng):
    faults = []
    workers = [Worker(who, rng) for who in range(processes)]
    running = list(workers)
    end = time.monotonic() + seconds
    kills = 0
    while time.monotonic() < end or (time.monotonic() < end + PATIENCE_S and not any(w.noted() for w in workers)):
        time.sleep(rng.uniform(0.1, 0.6))
        running.pop(rng.randrange(len(running))).end(faults)
        kills += 1
        workers.append(Worker(len(workers), rng))
        running.append(workers[-1])
    for worker in running:
        worker.end(faults)
    return workers, kills, faults


def judge(workers, kills, faults):
    database = connect(PATH, MODE)
    missing = committed = 0
    for worker in workers:
        there = {row[0] for row in database.execute("SELECT number FROM transfers WHERE who = ?", (worker.who,))}
        noted = worker.noted()
        committed += len(noted)
        missing += len(set(noted) - there)
    said = database.execute("PRAGMA integrity_check").fetchone()[0]
    faults += [f"{missing} committed transfers are missing"] if missing else []
    faults += [f"the sum is {total(database)}"] if total(database) != SUM else []
    faults += [f"integrity_check: {said}"] if said != "ok" else []
    faults += ["nothing was committed"] if committed == 0 else []
    print(f"{MODE}: {committed} transfers committed, {kills} processes killed")
    print("\n".join(faults))
    return not faults


if __name__ == "__main__":
    if len(sys.argv) == 6 and sys.argv[1] == "--work":
        work(sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
    elif len(sys.argv) != 6:
        sys.exit(__doc__)
    PATH, MODE = sys.argv[1], sys.argv[2]
    NOTES = os.environ.get("NOTES", os.path.dirname(PATH))
    make(PATH, MODE)
    sys.exit(0 if judge(*run(float(sys.argv[3]), int(sys.argv[4]), random.Random(int(sys.argv[5])))) else 1)
