"""Lines that hold numbers, fractions and percentages and say nothing about how far a job is, by where they come from."""

GROUPS = {
    "servers": """
127.0.0.1 - - [11/Nov/2026:12:00:01 +0000] "GET /a/b?page=2/3 HTTP/1.1" 200 1234
127.0.0.1 - - [11/Nov/2026:12:00:02 +0000] "GET /api/v1/items/12/64 HTTP/2" 304 0
127.0.0.1 - - [11/Nov/2026:12:00:03 +0000] "POST /upload?name=50%25.png HTTP/1.1" 201 15
2026-11-21 12:00:00,123 INFO worker 3/8 is ready
2026-11-21 12:00:01,123 INFO worker 4/8 is ready
2026-11-21 12:00:02,123 INFO worker 5/8 is ready
2026-11-21T12:00:03Z INFO pool: connections 12/64
2026-11-21T12:00:04Z INFO pool: connections 13/64
2026-11-21T12:00:05Z INFO pool: connections 14/64
2026-11-21 12:00:04 WARNING CPU 80%
2026-11-21 12:00:05 WARNING CPU 85%
2026-11-21 12:00:06 WARNING CPU 91%
Filesystem /dev/sda1 is 91% full
Filesystem /dev/sda1 is 92% full
/dev/sda1        50G   42G  8.0G  84% /
tmpfs           3.9G     0  3.9G   0% /dev/shm
memory usage 42%
memory usage 43%
memory usage 44%
cache hit rate: 97.2%
cache hit rate: 97.4%
Battery: 42%
Battery: 43%
Battery: 44%, charging
nginx: worker process 12/64 exited on signal 9
Retrying in 5 s (attempt 1/5)
Retrying in 10 s (attempt 2/5)
Retrying in 20 s (attempt 3/5)
retry 1 of 3
retry 2 of 3
retry 3 of 3
[2026-11-21 12:00:00 +0000] [1234] [INFO] Booting worker with pid: 1234
load average: 0.42, 0.31, 0.12
Mem: 3.1/15.6 GB (20%)
Swap: 1/8 GB (12%)
replicas ready 1/3
replicas ready 2/3
replicas ready 3/3
coredns-5d78c9869d-abcde   1/1   Running   0   5d
web-5d78c9869d-abcde       0/1   CrashLoopBackOff   12 (3m ago)   5d
postgres: checkpoint complete: wrote 42 buffers (0.3%); 0 WAL file(s) added
redis: 42% of memory used
queue 3/100 pending
queue 4/100 pending
queue 5/100 pending
HTTP 200 in 0.42 s, 42% slower than yesterday
throttled at 50% of 100 requests/s
64 bytes from 10.0.0.1: icmp_seq=12 ttl=64 time=0.04 ms
4 packets transmitted, 3 received, 25% packet loss, time 3005ms
""",
    "training": """
accuracy 97%
accuracy 98%
accuracy 99%
val_accuracy: 0.97 - val_loss: 0.12
Accuracy: 9700/10000 (97%)
Test set: Average loss: 0.0312, Accuracy: 9893/10000 (99%)
Train Epoch: 1 [640/60000 (1%)]\tLoss: 2.301
Train Epoch: 1 [1280/60000 (2%)]\tLoss: 2.201
Train Epoch: 2 [640/60000 (1%)]\tLoss: 0.501
loss 12%
loss 13%
loss=0.42 lr=1e-3 42% of neurons dead
GPU 0: 42% 3/24 GB
GPU 0: 57% 4/24 GB
GPU 0: 63% 5/24 GB
precision 42%, recall 64%, f1 50%
Top-1 97.1%
Top-1 97.3%
best score 3/10
best score 7/10
best score 9/10
{'loss': 0.5231, 'learning_rate': 4.2e-05, 'epoch': 1.2}
Restoring from epoch 3/10
Early stopping patience 1/5
Early stopping patience 2/5
Early stopping patience 3/5
trainable params: 4,194,304 || all params: 8,030,261,248 || trainable%: 0.0522
Confidence: 87%
WER 12.5%
rank 1/8 initialised
rank 2/8 initialised
rank 3/8 initialised
Epoch 3: val loss improved by 3%
epoch 7, step 1200, loss 0.31
0it [00:00, ?it/s]
137it [00:05, 26.1it/s]
Epoch 3:  45%|████▌     | 45/100 [00:05<00:06,  8.90it/s, v_num=3, train_loss=0.31]
Epoch 0:  97%|█████████▋| 97/100 [00:05<00:00,  8.90it/s, v_num=3]
Validation DataLoader 0:  20%|██        | 2/10 [00:00<00:01, 10.00it/s]
12/64 [====>.........................] - ETA: 5s - loss: 0.3123 - accuracy: 0.9001
12/64 ━━━━━━━━━━━━━━━━━━━━ 5s 98ms/step - accuracy: 0.9001 - loss: 0.3123
""",
    "prose": """
About 1/2 of the work is the other 1/2 of the problem.
Only 3/4 of users answered; 1/4 did not.
one of 12 apostles, 7 of 9 lives, 24/7 support
The film was shot in 4/3 and shown in 16/9.
Half (50%) of them agreed, 42% did not.
Prices rose 3% in 2026 after 2% in 2025.
Students completed 42% more exercises.
Give 110% today.
Rated 4/5 by 12 of 64 readers.
5 of 7 days
We are 99% sure that 1/3 is not 0.33.
20% discount on all orders
progress was made in 3 of 4 areas
Progress in 2024 was better than 42%
in 42% of cases
9 out of 10 dentists
1 of these 64 files is broken
It scored 8/10 with critics.
Signature 3/4, tempo 120
ratio 16:9, 50/50 odds
remaining: 20%
90% of test remaining.
Self-test routine in progress... 90% of test remaining.
42% of 3 is 1.26
only 12 of them
Line 12 of 64 is too long, see page 3 of 12, question 4 of 5
Humidity 42 %
Volume: 80%
Vol 3/4 No 2/6
""",
    "dates and versions": """
11/22
11/22 12:00:00 started
12/22 12:00:00 started
01/12
02/12
03/12
2026/11/21 12:00:00 [notice] 12#12: start worker processes
21/11/2026 12:00
On 11/22/2026 and 11/23/2026
Nov 21 12:00:00 host kernel: [12345.678901] usb 1-1: new device
Python 3.11.7/3.12.1
Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/120.0.0.0
libfoo 1.2/1.3 is incompatible
version 3/4
version 4/4
day 1/2
[11/22] a date in brackets
HTTP/1.1 200 OK
TLSv1.2/1.3
linux-6.1.0-12/64
eth0: 10/100/1000 Mbps
10.0.0.0/24 via 10.0.0.1
10.0.1.0/24 via 10.0.0.1
inet 127.0.0.1/8 scope host lo
inet6 fe80::1/64 scope link
at 12:30 on 3/4
python-3.11/3.12
""",
    "paths": """
/usr/lib/x86_64/12/64
src/1/2
src/2/2
a/b/c/12/64.png
./1/10/file.txt
writing frames/12/64.png
../3/10
12/64.tar.gz
https://example.com/12/64
s3://bucket/1/2/3
build/50%/x
100%.txt
file%20name%2012
C:\\12\\64
data/train/3/10/sample.json
refs/pull/12/64
+++ b/12/64
@@ -12,7 +12,9 @@
""",
    "compilers": """
main.c:12:64: warning: unused variable 'x' [-Wunused-variable]
main.c:12/64: error
error[E0382]: borrow of moved value: `x`
  --> src/main.rs:12:64
gcc -O2 -DVALUE=12/64 -c main.c
ld: warning: 3 of 4 symbols are missing
int half = 1/2; int third = 1/3;
x = 12/64
x = 13/64
x = 14/64
printf("%d%%\\n", 42);
warning: 12% of branches are never taken
coverage: 87% of statements
ok  \texample.com/pkg\t0.42s\tcoverage: 87.5% of statements
TOTAL                 1234    123    90%
src/app.py              64     12    81%   3-5, 9/10
5 passed, 1 failed in 0.42s
12 of 64 tests failed
13 of 64 tests failed
14 of 64 tests failed
Tests: 3 failed, 61 passed, 64 total
[ERROR] 3/4 modules failed
test result: ok. 12 passed; 0 failed; 52 filtered out
gzip: file.txt:  42.5% -- replaced with file.txt.gz
  adding: a.txt (deflated 42%)
  adding: b.txt (deflated 64%)
libx264 i16 v,h,dc,p: 26% 23% 25% 5%
Plane    9116   3940   43.22
Compressed 12345 bytes into 6789 bytes ==> 54%
""",
    "stack traces": """
Traceback (most recent call last):
  File "/srv/app/main.py", line 12, in <module>
    ratio = done / total  # 12/64
ZeroDivisionError: division by zero
    at Object.<anonymous> (/srv/app/index.js:12:64)
    at java.base/java.util.ArrayList.get(ArrayList.java:427)
Caused by: java.io.IOException: 3/4 chunks missing
goroutine 12 [running]:
\tmain.go:12 +0x64
thread 'main' panicked at 'index 12 of 64', src/main.rs:3:4
#0  0x00007f0000000012 in main () at main.c:12
Segmentation fault (core dumped)
IndexError: index 64 is out of bounds for axis 0 with size 12/64
ValueError: expected 12 of 64 columns
""",
    "tables": """
| name  | done | share |
|-------|------|-------|
| alpha | 3/10 |   30% |
| beta  | 5/10 |   50% |
| gamma | 7/10 |   70% |
alpha   3/10   30%
beta    5/10   50%
gamma   7/10   70%
PID  USER  %CPU %MEM  COMMAND
12   root   42%   3%  python
13   root   64%   5%  python
name,share
a,10%
b,20%
c,30%
CPU [##########          ] 45%
Mem[|||||||||||||||     1.2G/3.9G]
disk  |██████████          | 50%
GPU   [=========>          ] 12/24
Ray->Shape Intersection          Tests       Succeeded  Percentage
1/2   1/3   1/4
0.5 1/2 50%
""",
}
