#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# must_break.sh PROGRAM: succeeds if the program breaks: by its own check, a signal or a sanitizer. Passing is
# a failure, and so is not having got far enough to tell (status 3).
"$@"
status=$?
echo "status $status"
case $status in
0 | 3 | 126 | 127) exit 1 ;;
esac
