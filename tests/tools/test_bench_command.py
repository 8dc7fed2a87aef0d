#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`kvfs bench kv`: every workload runs and reports figures that can be true. The checks run side by
side, each in directories of its own: a benchmark mostly waits until its process has become quiet.

usage: test_bench_command.py KVFS
"""

import concurrent.futures
import json
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from kvfs_mount import Report, attempt  # noqa: E402

ROWS = 3000
FIGURES = ["ops_per_second", "mb_per_second", "p50_us", "p99_us", "p999_us", "max_us",
           "bytes_written_per_user_byte", "space_bytes", "peak_rss_bytes"]
# Reads of rows that exist find all of them; a workload that deleted some comes last.
FIND_ALL = ["readrandom", "readhot", "readseq", "readreverse", "seekrandom", "readwhilewriting",
            "readwhilescanning", "ycsbc"]
SMALL = ["--engines", "kvfs", "--num", str(ROWS), "--memtable", "128k", "--cache", "1M",
         "--value-size", "150"]


class Bench:
    def __init__(self, program, work):
        self.program = program
        self.work = work

    def run(self, *words, status=0):
        done = subprocess.run([self.program, "bench", "kv", *words], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, check=False)
        assert done.returncode == status, f"status {done.returncode}: {done.stderr}"
        return done.stderr if status else done.stdout

    def results(self, *words):
        report = json.loads(self.run(*SMALL, "--json", *words))
        assert (report["format_version"], report["target"]) == (1, "kv"), report
        return report["results"]

    def path(self, name):
        return os.path.join(self.work, name)

    def every_workload(self):
        results = self.results(self.path("all"))
        assert len(results) == 24, [r["workload"] for r in results]
        for result in results:
            for figure in FIGURES:
                assert result[figure] >= 0, (figure, result)
            assert result["ops_per_second"] > 0, result
            assert result["p50_us"] <= result["p99_us"] <= result["p999_us"] <= result["max_us"], result
            assert result["space_bytes"] > 0 and result["peak_rss_bytes"] > 0, result

    def rows_are_found(self):
        for result in self.results("--workload", ",".join(["fillseq", *FIND_ALL, "readmissing"]),
                                   "--seek-nexts", "3", self.path("found")):
            if result["workload"] == "readmissing":
                assert result["found"] == 0, result
            elif result["workload"] in FIND_ALL:
                assert result["found"] == result["ops"] == ROWS, result

    def threads_share(self):
        for result in self.results("--threads", "3", "--reads", "1001", "--workload",
                                   "fillrandom,readrandom,ycsba,ycsbd", self.path("threads")):
            expected = ROWS if result["workload"] == "fillrandom" else 1001
            assert result["ops"] == expected, result

    def engines_put_by_transactions(self):
        """Each transaction leaves its row, on every engine that was built in."""
        words = ["--workload", "txnoptimistic,readrandom,txnpessimistic,readrandom,txnupdate,readrandom"]
        report = json.loads(self.run("--num", str(ROWS), "--threads", "2", "--json", *words,
                                     self.path("txns")))
        without = {"leveldb", "lmdb"}
        for result in report["results"]:
            name = (result["engine"], result["workload"])
            if result["engine"] in without and result["workload"].startswith("txn"):
                assert result.get("ops_per_second") is None, result
            elif result["workload"] == "readrandom" and result["engine"] not in without:
                assert result["found"] == ROWS, name
            elif result["engine"] not in without:
                assert result["ops"] == ROWS and result["ops_per_second"] > 0, name

    def distributions(self):
        for name in ["zipfian", "latest"]:
            (result,) = self.results("--distribution", name, "--workload", "readrandom",
                                     self.path(name))
            assert result["found"] == ROWS, result

    def existing(self):
        words = ["--workload", "readrandom", self.path("existing")]
        self.results("--workload", "deleterandom", self.path("existing"))
        (kept,) = self.results("--existing", *words)
        (anew,) = self.results(*words)
        assert kept["found"] < ROWS and anew["found"] == ROWS, (kept, anew)

    def text_and_rounds(self):
        text = self.run(*SMALL, "--rounds", "2", "--workload", "fillbatch,readseq",
                        self.path("text"))
        for word in ["WORKLOAD", "fillbatch", "readseq", "durability write", "snappy", "page cache"]:
            assert word in text, text

    def refusals(self):
        foreign = self.path("foreign")
        os.mkdir(foreign)
        with open(os.path.join(foreign, "mine"), "w", encoding="ascii") as file:
            file.write("precious")
        assert "other files" in self.run("--num", "10", foreign, status=1)
        assert os.listdir(foreign) == ["mine"]
        assert "'readseq'" in self.run("--workload", "redseq", self.path("x"), status=2)
        assert "bench_peers" in self.run("--engines", "sqlite", self.path("x"), status=2)
        assert "--num" in self.run("--num", "0", self.path("x"), status=2)
        assert ".svg" in self.run("--plot", "a.txt", self.path("x"), status=2)
        assert "usage" in self.run(status=2)
        assert not os.path.exists(self.path("x"))


def main():
    report = Report()
    with tempfile.TemporaryDirectory() as work:
        bench = Bench(sys.argv[1], work)
        checks = {
            "every workload reports its figures": bench.every_workload,
            "rows that exist are found and others are not": bench.rows_are_found,
            "threads share the work without a rest": bench.threads_share,
            "rows put by transactions are there": bench.engines_put_by_transactions,
            "every distribution draws rows that exist": bench.distributions,
            "an existing store is used only when asked for": bench.existing,
            "text names the settings and every workload": bench.text_and_rounds,
            "what is not a benchmark's is left alone, and mistakes are named": bench.refusals,
        }
        with concurrent.futures.ThreadPoolExecutor(len(checks)) as pool:
            for text, faults in zip(checks, pool.map(attempt, checks.values())):
                report.point(text, faults)
    print(f"1..{report.points}")
    sys.exit(report.failed > 0)


if __name__ == "__main__":
    main()
