#!/bin/sh
# Renders scene.pov frame by frame with POV-Ray, as PNG files into the job's results folder ($JOB_FILES).
#
#   sh render.sh [FRAMES [WIDTH [HEIGHT]]]      the same from the environment: FRAMES=48 WIDTH=640 HEIGHT=480
#
# Outside a job they go into ./frames, or wherever FILES says. Frames that are there already are kept: with a folder
# of your own, a second run goes on where the first was stopped.
set -eu

frames=${1:-${FRAMES:-12}}
width=${2:-${WIDTH:-320}}
height=${3:-${HEIGHT:-240}}
files=${FILES:-${JOB_FILES:-frames}}

for number in "$frames" "$width" "$height"; do
  case $number in
    '' | 0* | *[!0-9]*)
      echo "render.sh: expected whole numbers, 1 or more: FRAMES WIDTH HEIGHT; found '$number'" >&2
      exit 2
      ;;
  esac
done
if ! command -v povray >/dev/null; then
  echo "render.sh: povray is missing; install it (Debian, Ubuntu: apt-get install povray)" >&2
  exit 1
fi
scene=$(dirname "$0")/scene.pov
mkdir -p "$files"

# A frame appears under its name only when it is whole. On SIGTERM the frame under way is dropped, the others stay.
# Ended by the signal itself, as if it had not been caught: whoever waits for us sees what happened.
unfinished=
povray=
chatter=$(mktemp)
clean_up() {
  if [ -n "$povray" ]; then kill "$povray" 2>/dev/null || true; fi
  rm -f "$chatter" ${unfinished:+"$unfinished"}
}
stopped() {
  trap - EXIT "$1"
  clean_up
  echo "render.sh: stopped; the frames that are done are kept" >&2
  kill -s "$1" $$
}
trap clean_up EXIT
trap 'stopped TERM' TERM
trap 'stopped INT' INT

echo "rendering $frames frames of ${width}x${height}"
frame=1
while [ "$frame" -le "$frames" ]; do
  name=$(printf 'frame-%04d.png' "$frame")
  if [ ! -e "$files/$name" ]; then
    clock=$(awk "BEGIN { print ($frame - 1) / $frames }")
    unfinished=$files/$name.part
    povray "+I$scene" +O- +FN "+W$width" "+H$height" +A0.2 "+K$clock" -D -V >"$unfinished" 2>"$chatter" &
    povray=$!
    if ! wait "$povray"; then # in the background and waited for, so that a signal is heard at once
      cat "$chatter" >&2
      echo "render.sh: povray failed at frame $frame" >&2
      exit 1
    fi
    povray=
    mv "$unfinished" "$files/$name"
  fi
  echo "frame $frame/$frames"
  frame=$((frame + 1))
done
