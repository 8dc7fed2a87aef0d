#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`kvfs bench fs`: every workload runs in any directory, reports, and leaves nothing behind.

usage: test_bench_fs.py KVFS
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from kvfs_mount import Report, attempt  # noqa: E402

WORKLOADS = ["create", "stat", "list", "read", "overwrite", "rename", "mixed", "unlink", "seqwrite", "seqread", "fsync4k"]
FIGURES = ["ops_per_second", "mb_per_second", "p50_us", "p99_us", "p999_us", "max_us",
           "bytes_written_per_user_byte", "space_bytes", "peak_rss_bytes"]
SMALL = ["--num", "101", "--per-directory", "10", "--stream", "3M", "--syncs", "7", "--seconds", "1"]
PATIENCE_S = 60


class Bench:
    def __init__(self, program, work):
        self.program = program
        self.work = work

    def directory(self, name):
        path = os.path.join(self.work, name)
        os.mkdir(path)
        return path

    def run(self, *words, status=0):
        done = subprocess.run([self.program, "bench", "fs", *words], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, check=False)
        assert done.returncode == status, f"status {done.returncode}: {done.stderr}"
        return done.stderr if status else done.stdout

    def results(self, directory, *words):
        report = json.loads(self.run(*SMALL, "--json", *words, directory))
        assert (report["format_version"], report["target"]) == (1, "fs"), report
        return report["results"]

    def every_workload(self):
        directory = self.directory("all")
        results = self.results(directory)
        assert [r["workload"] for r in results] == WORKLOADS, results
        for result in results:
            for figure in FIGURES:
                assert result[figure] >= 0, (figure, result)
            assert result["ops_per_second"] > 0, result
            assert result["p50_us"] <= result["p99_us"] <= result["p999_us"] <= result["max_us"], result
            expected = {"seqwrite": 3, "seqread": 3, "fsync4k": 7}.get(result["workload"], 101)
            assert result["ops"] == expected or result["workload"] == "mixed", result
            assert ("parts" in result) == (result["workload"] == "mixed"), result
        assert os.listdir(directory) == []

    def threads_share(self):
        for words in [], ["--shared"]:
            directory = self.directory("threads" + "".join(words))
            for result in self.results(directory, "--threads", "3", *words):
                expected = {"seqwrite": 3, "seqread": 3, "fsync4k": 7}.get(result["workload"], 101)
                assert result["ops"] == expected or result["workload"] == "mixed", result

    def mixed_counts_by_parts(self):
        directory = self.directory("mixed")
        result = self.results(directory, "--workload", "mixed,list,rename,stat", "--threads", "3", "--daemon", str(os.getpid()))[0]
        parts = result["parts"]
        assert len(parts) == 6 and all(part["ops_per_second"] > 0 and part["rss_bytes"] > 1 << 20 for part in parts), parts
        assert abs(sum(part["ops_per_second"] for part in parts) / 6 - result["ops"]) < 1, result  # in a second
        assert 0.99 < result["seconds"] < PATIENCE_S, result
        text = self.run(*SMALL, "--workload", "mixed", directory)
        assert "sixths" in text and "rss" not in text, text
        assert os.listdir(directory) == []

    def missing_files_are_made(self):
        directory = self.directory("missing")
        order = ["unlink", "read", "rename", "stat", "rename", "list", "create", "overwrite", "seqread"]
        results = self.results(directory, "--workload", ",".join(order))
        assert [r["workload"] for r in results] == order, results
        assert os.listdir(directory) == []

    def cold(self):
        directory = self.directory("cold")
        if os.access("/proc/sys/vm/drop_caches", os.W_OK):
            report = json.loads(self.run(*SMALL, "--json", "--cold", "--workload", "read", directory))
            assert report["settings"]["cold"] is True, report
        else:
            assert "root" in self.run(*SMALL, "--cold", directory, status=1)
        assert os.listdir(directory) == []

    def others_are_left_alone(self):
        directory = self.directory("foreign")
        with open(os.path.join(directory, "mine"), "w", encoding="ascii") as file:
            file.write("precious")
        self.run(*SMALL, directory)
        assert os.listdir(directory) == ["mine"]

    def interrupted(self):
        directory = self.directory("interrupted")
        process = subprocess.Popen([self.program, "bench", "fs", "--num", "100000000", "--workload", "create", directory],
                                   stderr=subprocess.PIPE, text=True)
        deadline = time.monotonic() + PATIENCE_S
        while not os.listdir(directory) and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        said = process.communicate(timeout=PATIENCE_S)[1]
        assert process.returncode == 130 and "interrupted" in said, (process.returncode, said)
        assert os.listdir(directory) == []

    def another_process(self):
        result = self.results(self.directory("daemon"), "--workload", "create", "--daemon", str(os.getpid()))[0]
        assert result["peak_rss_bytes"] > 1 << 20 and result["bytes_written_per_user_byte"] == 0, result

    def refusals(self):
        missing = os.path.join(self.work, "not", "there")
        assert "No such file" in self.run(missing, status=1)
        assert "'list'" in self.run("--workload", "lst", self.work, status=2)
        assert "--num" in self.run("--num", "0", self.work, status=2)
        assert ".png" in self.run("--plot", "a.txt", self.work, status=2)
        assert "usage" in self.run(status=2)
        assert "no process" in self.run("--daemon", "999999999", self.work, status=1)

    def text(self):
        text = self.run(*SMALL, "--workload", "create,stat", self.directory("text"))
        for word in ["WORKLOAD", "create", "stat", "101 files", "caches warm"]:
            assert word in text, text


def main():
    report = Report()
    with tempfile.TemporaryDirectory() as work:
        bench = Bench(sys.argv[1], work)
        for text, check in [
                ("every workload reports its figures, and nothing is left", bench.every_workload),
                ("threads share the work without a rest", bench.threads_share),
                ("the mixed load ends by the clock, leaves the files as they were, and says how it went on", bench.mixed_counts_by_parts),
                ("files that a workload needs are made first", bench.missing_files_are_made),
                ("caches are dropped, or it is said who may", bench.cold),
                ("other files in the directory are left alone", bench.others_are_left_alone),
                ("what was made is removed after a signal, too", bench.interrupted),
                ("memory and writes are those of the daemon that is named", bench.another_process),
                ("text names the settings and every workload", bench.text),
                ("mistakes are named", bench.refusals)]:
            report.point(text, attempt(check))
    print(f"1..{report.points}")
    sys.exit(report.failed > 0)


if __name__ == "__main__":
    main()
