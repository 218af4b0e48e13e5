/**
 * `vectord completion`: a script for the shell, made from the tree of commands.
 */

import { Argument, Command, type Option } from 'commander'
import { print } from './terminal.ts'

const SHELLS = ['bash', 'zsh', 'fish'] as const

type Shell = (typeof SHELLS)[number]

/** A command, with the words that may follow it. */
interface Place {
  /** Names from the first command on, such as `buckets add`; empty at the start. */
  readonly path: string
  readonly words: readonly Word[]
}

interface Word {
  readonly text: string
  readonly about: string
  /** What may follow an option; empty where it is free. */
  readonly choices: readonly string[]
}

export function completionCommand(program: () => Command): Command {
  return new Command('completion')
    .description('print a script that completes commands in a shell')
    .addArgument(new Argument('<shell>').choices(SHELLS))
    .addHelpText(
      'after',
      `
Examples:
  source <(vectord completion bash)                                  in ~/.bashrc
  source <(vectord completion zsh)                                   in ~/.zshrc, after compinit
  vectord completion fish > ~/.config/fish/completions/vectord.fish`,
    )
    .action((shell: Shell) => {
      print(SCRIPTS[shell](placesOf(program(), [])))
    })
}

function placesOf(command: Command, path: readonly string[]): Place[] {
  const inner = command.commands
  const words = [
    ...inner.map((one) => ({ text: one.name(), about: one.description(), choices: [] })),
    ...choicesOf(command),
    ...command.options.map(optionWord),
    { text: '--help', about: 'print help', choices: [] },
  ]
  const below = inner.flatMap((one) => placesOf(one, [...path, one.name()]))
  return [{ path: path.join(' '), words }, ...below]
}

function choicesOf(command: Command): Word[] {
  const choices = command.registeredArguments.flatMap(({ argChoices }) => argChoices ?? [])
  return choices.map((text) => ({ text, about: '', choices: [] }))
}

function optionWord({ long, short, description, argChoices }: Option): Word {
  return { text: long ?? short ?? '', about: description, choices: argChoices ?? [] }
}

const SCRIPTS: Readonly<Record<Shell, (places: readonly Place[]) => string>> = {
  bash: (places) => `_vectord() {
  local current=\${COMP_WORDS[COMP_CWORD]} before=\${COMP_WORDS[COMP_CWORD-1]} at='' words='' i
  for ((i = 1; i < COMP_CWORD; i++)); do
    case "$at \${COMP_WORDS[i]}" in
      ${pathPatterns(places)}) at="$at \${COMP_WORDS[i]}" ;;
    esac
  done
  case "$at" in
${places.map((place) => `    '${spaced(place)}') words='${texts(place)}' ;;`).join('\n')}
  esac
  case "$at $before" in
${choiceCases(places, (choices) => `words='${choices.join(' ')}'`)}
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -o default -F _vectord vectord`,

  zsh: (places) => `#compdef vectord
_vectord() {
  local at='' word
  local -a items
  for word in \${words[2,CURRENT-1]}; do
    case "$at $word" in
      (${pathPatterns(places)}) at="$at $word" ;;
    esac
  done
  case "$at" in
${places.map((place) => `    ('${spaced(place)}') items=(${described(place)}) ;;`).join('\n')}
  esac
  case "$at \${words[CURRENT-1]}" in
${choiceCases(places, (choices) => `items=(${choices.join(' ')})`, '(')}
  esac
  _describe vectord items || _files
}
compdef _vectord vectord`,

  fish: (places) => places.flatMap(fishLines).join('\n'),
}

/** How a place is written behind what was read so far: each name with a space before it. */
function spaced({ path }: Place): string {
  return path === '' ? '' : ` ${path}`
}

function pathPatterns(places: readonly Place[]): string {
  return places
    .filter(({ path }) => path !== '')
    .map((place) => `'${spaced(place)}'`)
    .join('|')
}

function texts({ words }: Place): string {
  return words.map(({ text }) => text).join(' ')
}

function choiceCases(
  places: readonly Place[],
  then: (choices: readonly string[]) => string,
  open = '',
): string {
  const cases = places.flatMap((place) =>
    place.words
      .filter(({ choices }) => choices.length > 0)
      .map(({ text, choices }) => `    ${open}'${spaced(place)} ${text}') ${then(choices)} ;;`),
  )
  return cases.join('\n')
}

function described({ words }: Place): string {
  return words
    .map(({ text, about }) => quoted(about === '' ? text : `${text}:${about.replace(/:/g, '\\:')}`))
    .join(' ')
}

function fishLines({ path, words }: Place): string[] {
  const names = path.split(' ').filter((name) => name !== '')
  const inner = words.filter(({ text }) => !text.startsWith('-')).map(({ text }) => text)
  const seen = names.map((name) => `__fish_seen_subcommand_from ${name}`)
  const unseen = inner.length === 0 ? [] : [`not __fish_seen_subcommand_from ${inner.join(' ')}`]
  const when = [...seen, ...unseen].join('; and ')
  return words.map(({ text, about, choices }) => {
    const word = text.startsWith('--') ? `-l ${text.slice(2)}` : `-f -a ${text}`
    const values = choices.length === 0 ? '' : ` -x -a ${quoted(choices.join(' '))}`
    const tip = about === '' ? '' : ` -d ${quoted(about)}`
    return `complete -c vectord -n ${quoted(when)} ${word}${values}${tip}`
  })
}

function quoted(text: string): string {
  return `'${text.replace(/'/g, `'\\''`)}'`
}
