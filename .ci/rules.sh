# Reads .ci/commands.rules and tells what is typed for a command of a README. Sourced by scripts that run at the root.

pattern=() action=()
while IFS= read -r line; do
    [[ $line == '#'* || -z $line ]] && continue
    pattern+=("${line%% => *}") action+=("${line#* => }")
done <.ci/commands.rules

# decide COMMAND: sets $typed (what is run), $how (run, elsewhere, none) and $codes
decide() {
    local i words
    typed=$1 how=none codes=0
    for i in "${!pattern[@]}"; do
        [[ ${action[i]} == replace* ]] || continue
        words=${action[i]#replace}
        words=${words# }
        [[ $typed =~ ${pattern[i]} ]] && typed=${typed/"${BASH_REMATCH[0]}"/$words}
    done
    for i in "${!pattern[@]}"; do
        [[ ${action[i]} == replace* ]] && continue
        [[ $typed =~ ${pattern[i]} ]] || continue
        case ${action[i]} in
        run) how=run ;;
        add\ *) how=run typed="$typed ${action[i]#add }" ;;
        exit\ *)
            words=${action[i]#exit }
            how=run codes=${words%% *}
            [[ $words == *' '* ]] && typed="$typed ${words#* }"
            ;;
        elsewhere\ *) how=${action[i]} ;;
        esac
        return
    done
}
