/**
 * `engine/etcd/etcd.proto` → `engine/etcd/messages.ts`: what the wire of etcd looks like, as values that `engine/etcd/wire.ts` reads and TypeScript
 * derives types from. It reads the subset of the language that our own file uses, and refuses every line that it does not know.
 */
type Message = { name: string; fields: string[]; uses: Set<string> }
type Parsed = { messages: Message[]; enums: { name: string; values: string[] }[]; methods: string[] }

const kinds = ['bytes', 'string', 'bool', 'int64', 'uint64', 'uint32']
const firstLower = (name: string) =>
  /^[A-Z]+$/.test(name) ? name.toLowerCase() : name[0]!.toLowerCase() + name.slice(1)
const camel = (name: string) => firstLower(name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase()))

export function messagesFrom(proto: string): string {
  const { messages, enums, methods } = parse(proto)
  const parts = [
    '/** Generated from `etcd.proto` by `npm run generate`; do not edit. */',
    "import { many, message, method, one } from './wire.ts'",
    '',
    ...enums.map(({ name, values }) => `export const ${camel(name)} = { ${values.join(', ')} } as const`),
    '',
    ...inOrder(messages).map(({ name, fields }) =>
      fields.length === 0
        ? `const ${camel(name)} = message({})`
        : `const ${camel(name)} = message({\n${fields.map(field => `  ${field},\n`).join('')}})`,
    ),
    '',
    `export const methods = {\n${methods.map(line => `  ${line},\n`).join('')}}`,
  ]
  return `${parts.join('\n')}\n`
}

function parse(proto: string): Parsed {
  const parsed: Parsed = { messages: [], enums: [], methods: [] }
  let service = ''
  const isEnum = (type: string) => new RegExp(`^enum ${type} \\{`, 'm').test(proto)
  for (const line of proto.split('\n').map(text => text.replace(/\/\/.*/, '').trim())) {
    if (line === '' || line === '}' || /^(syntax|package|oneof) /.test(line)) continue
    const [, block, name = ''] = /^(message|enum|service) (\w+) \{$/.exec(line) ?? []
    const rpc = /^rpc (\w+)\((?:stream )?(\w+)\) returns \((?:stream )?(\w+)\);$/.exec(line)
    const value = /^([A-Z]+) = (\d+);$/.exec(line)
    const field = /^(repeated )?(\w+) (\w+) = (\d+);$/.exec(line)
    if (block === 'message') parsed.messages.push({ name, fields: [], uses: new Set() })
    else if (block === 'enum') parsed.enums.push({ name, values: [] })
    else if (block === 'service') service = name
    else if (rpc) {
      const [, call = '', request = '', reply = ''] = rpc
      const path = `/etcdserverpb.${service}/${call}`
      parsed.methods.push(`${camel(call)}: method('${path}', ${camel(request)}, ${camel(reply)})`)
    } else if (value) parsed.enums.at(-1)!.values.push(`${value[1]}: ${value[2]}`)
    else if (field) addField(parsed.messages.at(-1)!, field, isEnum)
    else throw new Error(`etcd.proto: what is this? ${line}`)
  }
  return parsed
}

function addField(message: Message, field: RegExpExecArray, isEnum: (type: string) => boolean): void {
  const [, repeated, type = '', name = '', id = ''] = field
  const isMessage = !kinds.includes(type) && !isEnum(type)
  if (isMessage) message.uses.add(type)
  const kind = isMessage ? camel(type) : `'${isEnum(type) ? 'uint32' : type}'`
  message.fields.push(`${camel(name)}: ${repeated ? 'many' : 'one'}(${id}, ${kind})`)
}

/** Those that others are made of first. */
function inOrder(messages: Message[]): Message[] {
  const done: Message[] = []
  const add = (message: Message) => {
    if (done.includes(message)) return
    for (const name of message.uses) add(messages.find(other => other.name === name)!)
    done.push(message)
  }
  for (const message of messages) add(message)
  return done
}
