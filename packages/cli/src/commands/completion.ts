/** `holdfast completion bash|zsh|fish`: the verbs with their options, from the same definitions that parse them. */
import { Argument, Command } from 'commander'
import { printLine } from '../output.ts'
import { verbs } from '../verbs.ts'

type Words = { name: string; summary: string; options: string[] }

export function define(program: Command): void {
  program
    .command('completion')
    .summary('print a completion script for your shell')
    .description('Print a completion script for your shell.')
    .addArgument(new Argument('<shell>').choices(['bash', 'zsh', 'fish']))
    .addHelpText(
      'after',
      '\nExamples:\n  source <(holdfast completion bash)\n  holdfast completion fish > ~/.config/fish/completions/holdfast.fish',
    )
    .action(async (shell: keyof typeof scripts) => printLine(scripts[shell](await wordsOf())))
}

async function wordsOf(): Promise<Words[]> {
  return Promise.all(
    verbs.map(async ({ name, summary, load }) => {
      const program = new Command().enablePositionalOptions()
      const { define: defineVerb } = await load()
      defineVerb(program)
      const options = program.commands[0]?.options.flatMap(option => (option.long ? [option.long] : [])) ?? []
      return { name, summary, options: [...options, '--help'] }
    }),
  )
}

const scripts = {
  bash: (words: readonly Words[]) => `_holdfast() {
  local word=\${COMP_WORDS[COMP_CWORD]} verb=\${COMP_WORDS[1]} place
  for ((place = 1; place < COMP_CWORD; place++)); do
    [[ \${COMP_WORDS[place]} == -- ]] && { COMPREPLY=($(compgen -c -f -- "$word")); return; }
  done
  if ((COMP_CWORD == 1)); then
    COMPREPLY=($(compgen -W '${words.map(({ name }) => name).join(' ')}' -- "$word"))
    return
  fi
  case $verb in
${words.map(({ name, options }) => `    ${name}) COMPREPLY=($(compgen -W '${options.join(' ')}' -- "$word")) ;;`).join('\n')}
  esac
}
complete -F _holdfast holdfast`,
  zsh: (words: readonly Words[]) => `#compdef holdfast
_holdfast() {
  local -a verbs
  verbs=(
${words.map(({ name, summary }) => `    '${name}:${summary.replaceAll("'", "'\\''")}'`).join('\n')}
  )
  if ((CURRENT == 2)); then
    _describe verb verbs
    return
  fi
  if ((\${words[(I)--]} && \${words[(I)--]} < CURRENT)); then
    _normal
    return
  fi
  case $words[2] in
${words.map(({ name, options }) => `    ${name}) compadd -- ${options.join(' ')} ;;`).join('\n')}
  esac
}
(( $+functions[compdef] )) && compdef _holdfast holdfast`,
  fish: (words: readonly Words[]) =>
    [
      'complete -c holdfast -f',
      ...words.map(
        ({ name, summary }) =>
          `complete -c holdfast -n __fish_use_subcommand -a ${name} -d '${summary.replaceAll("'", "\\'")}'`,
      ),
      ...words.flatMap(({ name, options }) =>
        options.map(option => `complete -c holdfast -n '__fish_seen_subcommand_from ${name}' -l ${option.slice(2)}`),
      ),
    ].join('\n'),
}
