# shellcheck shell=bash disable=SC2034,SC2154  # variables cross over to those who source this, and back
# What the launchers of clusters have in common. Sourced, never run.
#
# A launcher is called as `launch/NAME [--option=value ...] -- STAGE [arguments of chexjax]`. Every option has a
# variable of the same name, which the launcher sets to a default before it calls `read_options`.

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
dry_run=false
arguments=() # of chexjax: what stands behind `--`

say() { printf '%s: %s\n' "$launcher" "$*" >&2; }
die() { say "$@" && exit 2; }

usage() { sed -n '2,/^set /{/^#/s/^# \{0,1\}//p;}' "$0"; }

read_options() { # read_options "NAME ..." "$@": sets the variables of these names, and `arguments`
  local _known=" $1 dry_run " _option # no option may be called as one of these
  shift
  while (($#)) && [[ $1 != -- ]]; do
    [[ $1 != --help && $1 != -h ]] || { usage && exit 0; }
    _option=${1#--} && _option=${_option%%=*}
    [[ $1 == --* && $_known == *" $_option "* ]] || die "$1 is no option; there are:$_known"
    case $1 in
      *=*) printf -v "$_option" %s "${1#*=}" ;;
      *) [[ ${!_option} == false ]] || die "$1 needs a value: $1=..." && printf -v "$_option" true ;;
    esac
    shift
  done
  (($# > 1)) || die "what shall run? write -- and a stage behind the options: -- run --config=... --workdir=..."
  shift
  arguments=("$@")
}

need() { # need NAME ...: each of these options must have been given
  local _option
  for _option; do [[ -n ${!_option} ]] || die "--$_option=... is missing"; done
}

need_number() {
  local _option
  for _option; do [[ ${!_option} =~ ^[1-9][0-9]*$ ]] || die "--$_option=${!_option} is no number from 1 on"; done
}

quoted() { # words as a shell reads them again
  local words
  printf -v words '%q ' "$@"
  printf %s "${words% }"
}

yaml() { # words as a YAML flow sequence of strings, which is also JSON
  local word list=
  for word; do
    word=${word//\\/\\\\} && word=${word//\"/\\\"} && word=${word//$'\n'/\\n} && word=${word//$'\t'/\\t}
    list+=", \"$word\""
  done
  printf '[%s]' "${list#, }"
}

run() { # runs a command, or says what it would be
  if [[ $dry_run == true ]]; then quoted "$@" && echo; else "$@"; fi
}

run_with() { # run_with TEXT COMMAND ...: the same with a text on standard input
  local text=$1
  shift
  if [[ $dry_run == true ]]; then printf '%s\n' "$text"; else printf '%s\n' "$text" | "$@"; fi
}

# TPU slices: `v5e:4x4` names the chips' generation and their arrangement.

read_slice() { # read_slice v5e:4x4: sets generation, arrangement, chips, per_host and hosts
  generation=${1%%:*} arrangement=${1#*:}
  [[ $1 == *:* && $arrangement =~ ^[1-9][0-9]*(x[1-9][0-9]*){1,2}$ ]] ||
    die "--topology=$1 is no slice; write v5e:4x4 or v5p:2x2x4"
  chips=$((${arrangement//x/*}))
  case $generation in
    v5e | v6e) per_host=$((chips > 8 ? 4 : chips)) ;; # one machine has up to 8 of these
    v4 | v5p) per_host=4 ;;
    *) die "--topology=$1: there is no generation $generation here; there are v4, v5e, v5p and v6e" ;;
  esac
  ((chips % per_host == 0)) || die "--topology=$1: $chips chips are no whole machines of $per_host"
  hosts=$((chips / per_host))
}

accelerator_type() { # what Cloud TPU calls the slice: v4 and v5p are counted in cores, of which a chip has two
  case $generation in
    v4 | v5p) printf '%s-%d' "$generation" $((2 * chips)) ;;
    v5e) printf 'v5litepod-%d' "$chips" ;;
    v6e) printf 'v6e-%d' "$chips" ;;
  esac
}
