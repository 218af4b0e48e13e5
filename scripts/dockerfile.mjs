/**
 * Reads a Dockerfile and a .dockerignore, as far as ours use them, and holds them to rules.
 *
 * What it does not know it refuses: a heredoc, an unknown instruction, a flag of COPY. A file that
 * is only half understood would be checked by halves.
 */

const INSTRUCTIONS = new Set(
  'FROM RUN CMD ENTRYPOINT COPY ADD ENV ARG WORKDIR USER VOLUME EXPOSE HEALTHCHECK LABEL'.split(
    ' ',
  ),
)
const SECRET = /KEY|SECRET|TOKEN|PASSWORD|CREDENTIAL/i

/**
 * @returns the stages in order: `{ image, name, steps: [{ line, keyword, rest }] }`.
 * @throws {Error} with the line that cannot be read.
 */
export function parseDockerfile(text) {
  const stages = []
  for (const { line, content } of logicalLines(text)) {
    const [, keyword, rest] = /^(\w+)\s+(.*)$/s.exec(content) ?? []
    if (keyword === undefined || !INSTRUCTIONS.has(keyword) || rest.includes('<<')) {
      throw new Error(`line ${line}: this check cannot read "${content}"`)
    }
    if (keyword === 'FROM') {
      const [image, , name = String(stages.length)] = rest.split(/\s+/)
      stages.push({ image, name, steps: [] })
    } else if (stages.length === 0) {
      throw new Error(`line ${line}: ${keyword} before FROM`)
    } else stages.at(-1).steps.push({ line, keyword, rest })
  }
  if (stages.length === 0) throw new Error('there is no FROM')
  return stages
}

/** Lines that go on after a backslash are one; comments go. */
function logicalLines(text) {
  const lines = []
  let open = null
  for (const [at, raw] of text.split('\n').entries()) {
    const trimmed = raw.trim()
    if (trimmed === '' || trimmed.startsWith('#')) continue
    const goesOn = trimmed.endsWith('\\')
    const part = goesOn ? trimmed.slice(0, -1).trim() : trimmed
    open = { line: open?.line ?? at + 1, content: open === null ? part : `${open.content} ${part}` }
    if (goesOn) continue
    lines.push(open)
    open = null
  }
  return lines
}

/** `NAME=value NAME="value"` */
export function parseEnv(rest) {
  const pairs = [...rest.matchAll(/(\w+)=(?:"([^"]*)"|(\S*))/g)]
  return Object.fromEntries(pairs.map(([, name, quoted, plain]) => [name, quoted ?? plain]))
}

/** The exec form as an array; null where it is the shell form. */
export function execForm(rest) {
  try {
    const words = JSON.parse(rest)
    return Array.isArray(words) && words.every((word) => typeof word === 'string') ? words : null
  } catch {
    return null
  }
}

/** The command of a HEALTHCHECK in exec form, or null. */
export function healthCommand(rest) {
  return execForm(rest.replace(/^(--\S+\s+)*CMD\s+/, ''))
}

/** Says of a path of the build context whether the .dockerignore leaves it out. */
export function ignoredBy(text) {
  const rules = text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => ({ keeps: line.startsWith('!'), path: pattern(line.replace(/^!/, '')) }))
  return (path) => {
    let ignored = false
    for (const { keeps, path: rule } of rules) if (rule.test(path)) ignored = !keeps
    return ignored
  }
}

/** A pattern starts at the root of the context, and takes what is below a folder with it. */
function pattern(glob) {
  const source = glob
    .replace(/^\/|\/$/g, '')
    .split(/(\*\*\/|\*\*|\*|\?)/)
    .map((part) => {
      if (part === '**/') return '(?:.*/)?'
      if (part === '**') return '.*'
      if (part === '*') return '[^/]*'
      return part === '?' ? '[^/]' : part.replace(/[.+^${}()|[\]\\]/g, '\\$&')
    })
    .join('')
  return new RegExp(`^${source}(?:/.*)?$`)
}

/**
 * @param nodeVersion the one that the tests run with.
 * @param port what the service listens on unless it is told otherwise.
 * @returns what breaks a rule, a sentence for each.
 */
export function brokenRules(stages, { nodeVersion, port }) {
  const final = stages.at(-1).steps
  const all = stages.flatMap(({ steps }) => steps)
  const last = (keyword) => final.findLast((step) => step.keyword === keyword)?.rest
  const faults = stages
    .filter(({ image }) => !image.startsWith(`node:${nodeVersion}-`))
    .map(({ image }) => `the image ${image} is not pinned to Node ${nodeVersion}`)
  const rule = (holds, fault) => {
    if (!holds) faults.push(fault)
  }
  rule(/^(?!root\b|0\b)\w+/.test(last('USER') ?? 'root'), 'the last USER is root, or missing')
  rule(execForm(last('CMD') ?? last('ENTRYPOINT') ?? '') !== null, 'CMD is not in exec form')
  rule(healthCommand(last('HEALTHCHECK') ?? '') !== null, 'there is no HEALTHCHECK in exec form')
  rule(last('EXPOSE') === String(port), `EXPOSE is not the port ${port} of lakehouse.toml`)
  const installs = final.some(({ keyword, rest }) => {
    return keyword === 'RUN' && /apt-get install[^&]*\sca-certificates\b/.test(rest)
  })
  rule(installs, 'the image has no ca-certificates: LanceDB reaches no S3 without')
  const root = environmentOf(final)['VECTORD_STORAGE_ROOT']
  rule(root !== undefined && last('VOLUME') === root, 'VOLUME is not VECTORD_STORAGE_ROOT')
  return [...faults, ...all.flatMap(stepFaults)]
}

function stepFaults({ line, keyword, rest }) {
  const faults = []
  const rule = (holds, fault) => {
    if (!holds) faults.push(`line ${line}: ${fault}`)
  }
  rule(keyword !== 'ADD', 'ADD does more than COPY')
  if (keyword === 'COPY') rule(!/(^|\s)\.\/?\s/.test(rest), 'COPY names what it takes')
  if (keyword === 'WORKDIR') rule(rest.startsWith('/'), 'WORKDIR is absolute')
  if (keyword === 'ENV' || keyword === 'ARG') {
    rule(!SECRET.test(rest), 'a secret in ENV or ARG stays in the image')
  }
  if (keyword === 'RUN') {
    rule(!/\bsudo\b/.test(rest), 'no sudo')
    rule(!/\bnpm (install|i)\b/.test(rest), 'npm ci installs what the lock file says')
    const lean = /--no-install-recommends/.test(rest) && /rm -rf \/var\/lib\/apt\/lists/.test(rest)
    rule(
      !/apt-get install/.test(rest) || lean,
      'apt-get installs no more than needed, and cleans up',
    )
  }
  return faults
}

export function environmentOf(steps) {
  const env = {}
  for (const { keyword, rest } of steps) if (keyword === 'ENV') Object.assign(env, parseEnv(rest))
  return env
}
