# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # variables of gpu-check.sh
# Writes the results of gpu-check, which sources this file, as markdown and JSON. While a part runs, its rows, figures
# and details are collected in files of $scratch. end_part adds them to those of earlier parts and writes all results
# again.

# Set by find_device, for the head of the results.
device_name=unknown driver=unknown

begin_results() {
  : >"$scratch/rows.md"
  : >"$scratch/details.md"
  : >"$scratch/parts.md"
  : >"$scratch/parts.json"
  : >"$output/log.txt"
  passed_parts=0 failed_parts=0 skipped_parts=0
}

begin_part() {
  : >"$scratch/part-rows.json"
  : >"$scratch/part-figures.json"
}

# json TEXT: the text as a JSON string.
json() {
  local text=$1
  text=${text//\\/\\\\}
  text=${text//\"/\\\"}
  text=${text//$'\n'/\\n}
  text=${text//$'\t'/ }
  printf '"%s"' "$(tr -d '\000-\037' <<<"$text")"
}

# shown WORD...: a command as a user would type it in the bundle's folder.
shown() {
  local text=$*
  text=${text//"$bundle/"/}
  printf '%s' "${text//"$scratch/"/}"
}

# row WHAT RESULT COMMAND: a line of the table "What was measured".
row() {
  # shellcheck disable=SC2016 # the backticks are markdown's
  printf '| %s | %s, driver %s | %s | %s | `%s` |\n' "$today" "$device_name" "$driver" "$1" "$2" "$3" \
    >>"$scratch/rows.md"
  printf '%s{"what":%s,"result":%s,"command":%s}' "$(comma "$scratch/part-rows.json")" \
    "$(json "$1")" "$(json "$2")" "$(json "$3")" >>"$scratch/part-rows.json"
  printf '%s: %s\n' "$1" "$2"
}

# figure NAME NUMBER: adds a number to results.json, for programs; null if NUMBER is empty.
figure() {
  local number=$2
  [[ $number =~ ^-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?$ ]] || number=null
  printf '%s%s:%s' "$(comma "$scratch/part-figures.json")" "$(json "$1")" "$number" >>"$scratch/part-figures.json"
}

# comma FILE: a comma if the file is not empty.
comma() { [ ! -s "$1" ] || printf ','; }

# details TITLE FILE: adds the file, to be shown in full below the table.
details() {
  {
    printf '\n### %s\n\n```\n' "$1"
    tail -n 120 "$2"
    printf '```\n'
  } >>"$scratch/details.md"
}

# end_part NUMBER WHAT VERDICT SECONDS: adds the part, whose output is in $scratch/log.
end_part() {
  local last
  last=$(tail -n 30 "$scratch/log")
  case $3 in
    passed) passed_parts=$((passed_parts + 1)) ;;
    skipped) skipped_parts=$((skipped_parts + 1)) ;;
    *)
      failed_parts=$((failed_parts + 1))
      printf '%s\n' "$last" >"$scratch/last"
      details "Part $1 $3: its last lines" "$scratch/last"
      ;;
  esac
  printf '| %s | %s | %s | %s |\n' "$1" "$2" "$3" "$4" >>"$scratch/parts.md"
  printf '%s{"part":%s,"what":%s,"status":%s,"seconds":%s,"figures":{%s},"rows":[%s],"last_lines":%s}' \
    "$(comma "$scratch/parts.json")" "$1" "$(json "$2")" "$(json "$3")" "$4" \
    "$(cat "$scratch/part-figures.json")" "$(cat "$scratch/part-rows.json")" "$(json "$last")" \
    >>"$scratch/parts.json"
  { printf '\n######## part %s: %s\n' "$1" "$2"; cat "$scratch/log"; } >>"$output/log.txt"
  write_results
  [ "$3" = passed ] && last=$(tail -n 5 "$scratch/log")
  printf '%s\n%s in %s s\n' "$last" "$3" "$4"
}

write_results() {
  {
    printf '# gpu-check of %s\n\n%s; %s, driver %s\n\n' "$today" "$version" "$device_name" "$driver"
    printf '| date | device | what | result | command |\n| --- | --- | --- | --- | --- |\n'
    cat "$scratch/rows.md"
    printf '\n| part | what | status | seconds |\n| --- | --- | --- | --- |\n'
    cat "$scratch/parts.md" "$scratch/details.md"
  } >"$output/results.md"
  printf '{"date":%s,"version":%s,"device":%s,"driver":%s,"parts":[%s]}\n' "$(json "$today")" \
    "$(json "$version")" "$(json "$device_name")" "$(json "$driver")" "$(cat "$scratch/parts.json")" \
    >"$output/results.json"
}

# Prints the last lines of a check. Returns the exit status of the check.
summary() {
  printf '\nresults: %s\n' "$output"
  printf '%d passed, %d failed' "$passed_parts" "$failed_parts"
  [ "$skipped_parts" = 0 ] || printf ', %d skipped' "$skipped_parts"
  printf '\n'
  [ "$failed_parts" = 0 ]
}
