/**
 * Every small change of a source that a test should notice. Types are blanked out by Node itself, which leaves every other character in its place, and
 * the rest is parsed as JavaScript; so a mutant is a piece of the source as it lies on the disk, and another text for it.
 *
 * The operators are those that tools for mutation testing have in common: conditions, comparisons, logic, arithmetic, blocks, literals, calls. Not changed:
 * imports, types, the text of errors that only people read, and numbers, most of which are bounds with a test of their own (`tidy.test.ts`).
 */
import { stripTypeScriptTypes } from 'node:module'
import { type AnyNode, type Node, parse } from 'acorn'

export type Mutant = {
  /** Relative to the root. */
  file: string
  line: number
  operator: string
  start: number
  end: number
  /** What is there, and what stands there instead. */
  from: string
  to: string
}

const comparisons: Readonly<Record<string, readonly string[]>> = {
  '<': ['<=', '>='],
  '<=': ['<', '>'],
  '>': ['>=', '<='],
  '>=': ['>', '<'],
  '===': ['!=='],
  '!==': ['==='],
}
const arithmetic: Readonly<Record<string, string>> = { '+': '-', '-': '+', '*': '/', '/': '*', '%': '*' }
const logic: Readonly<Record<string, string>> = { '&&': '||', '||': '&&', '??': '&&' }
const assignments: Readonly<Record<string, string>> = { '+=': '-=', '-=': '+=', '*=': '/=', '??=': '&&=' }
const methods: Readonly<Record<string, string>> = {
  ...{ some: 'every', every: 'some', min: 'max', max: 'min', startsWith: 'endsWith', endsWith: 'startsWith' },
  ...{ toUpperCase: 'toLowerCase', toLowerCase: 'toUpperCase', push: 'unshift', unshift: 'push' },
}
/** Calls whose whole point is the new array: the mutant leaves them out. */
const dropped = new Set(['filter', 'slice', 'sort', 'reverse', 'toSorted', 'toReversed', 'trim'])
const errorNames = /(Error|Violation|Broken|Refusal|Fatal|Lost)$/

/** All mutants of one file, in the order of the source. */
export function mutantsOf(file: string, source: string): Mutant[] {
  const script = stripTypeScriptTypes(source, { mode: 'strip' })
  if (script.length !== source.length) throw new Error(`${file}: types were not blanked out in place`)
  const found: Mutant[] = []
  const add: Add = (node, operator, to) => {
    const from = source.slice(node.start, node.end)
    if (from === to) return
    const line = source.slice(0, node.start).split('\n').length
    found.push({ file, line, operator, start: node.start, end: node.end, from, to })
  }
  const tree = parse(script, { ecmaVersion: 'latest', sourceType: 'module' })
  walk(tree as AnyNode, node => mutate(node, { add, text: (one: Node) => script.slice(one.start, one.end) }))
  return found.sort((one, other) => one.start - other.start || one.end - other.end)
}

type Add = (node: { start: number; end: number }, operator: string, to: string) => void
type Tools = { add: Add; text(node: Node): string }

/** Children first come, first served; whole branches that no test can be asked to notice are left out. */
function walk(node: AnyNode, visit: (node: AnyNode) => void): void {
  if (node.type === 'ImportDeclaration' || node.type === 'ExportAllDeclaration') return
  if (node.type === 'NewExpression' && node.callee.type === 'Identifier' && errorNames.test(node.callee.name)) return
  visit(node)
  for (const [name, value] of Object.entries(node)) {
    if (name === 'key' && 'computed' in node && !node.computed) continue
    for (const child of Array.isArray(value) ? value : [value]) {
      // What acorn's nodes hold besides nodes is no object with a type of text.
      if (typeof child === 'object' && child !== null && typeof child.type === 'string') walk(child as AnyNode, visit)
    }
  }
}

function mutate(node: AnyNode, tools: Tools): void {
  const { add, text } = tools
  switch (node.type) {
    case 'BinaryExpression':
    case 'LogicalExpression':
      return operator(node, tools)
    case 'AssignmentExpression': {
      const to = assignments[node.operator]
      if (to) add(between(node.left, node.right, tools, node.operator), 'assignment', to)
      return
    }
    case 'IfStatement':
    case 'WhileStatement':
    case 'ConditionalExpression':
      return condition(node, tools)
    case 'ForStatement':
      if (node.test) add(node.test, 'condition', 'false')
      return
    case 'UnaryExpression':
      if (node.operator === '!' || node.operator === '-') add(node, 'unary', text(node.argument))
      return
    case 'UpdateExpression':
      add(node, 'update', node.operator === '++' ? text(node).replace('++', '--') : text(node).replace('--', '++'))
      return
    case 'CallExpression':
      return call(node, tools)
    case 'BlockStatement':
      if (node.body.length > 0) add(node, 'block', '{}')
      return
    case 'ExpressionStatement':
      if (node.expression.type === 'CallExpression' || node.expression.type === 'AssignmentExpression')
        add(node, 'statement', ';')
      return
    case 'ArrayExpression':
      if (node.elements.length > 0) add(node, 'array', '[]')
      return
    case 'ChainExpression':
    case 'MemberExpression':
      return chain(node, tools)
    case 'Literal':
      return literal(node, tools)
    case 'TemplateLiteral':
      add(node, 'string', '``')
      return
    case 'ArrowFunctionExpression':
      if (node.body.type !== 'BlockStatement') add(node, 'arrow', '() => undefined')
      return
    default:
  }
}

function operator(node: Extract<AnyNode, { type: 'BinaryExpression' | 'LogicalExpression' }>, tools: Tools): void {
  const { add, text } = tools
  if (node.left.type === 'PrivateIdentifier') return
  const sign = between(node.left, node.right, tools, node.operator)
  for (const to of comparisons[node.operator] ?? []) add(sign, 'comparison', to)
  const other = arithmetic[node.operator]
  const isText = [node.left, node.right].some(one => one.type === 'TemplateLiteral' || /^['"`]/.test(text(one)))
  if (other && !isText) add(sign, 'arithmetic', other)
  const logical = logic[node.operator]
  // `a ?? b` and `a || b` in one expression is no JavaScript.
  if (logical) add(node, 'logic', `((${text(node.left)}) ${logical} (${text(node.right)}))`)
}

function condition(
  { test }: Extract<AnyNode, { type: 'IfStatement' | 'WhileStatement' | 'ConditionalExpression' }>,
  { add }: Tools,
): void {
  // One that never ends says nothing that one that never begins does not.
  add(test, 'condition', 'false')
  add(test, 'condition', 'true')
}

function call(node: Extract<AnyNode, { type: 'CallExpression' }>, { add, text }: Tools): void {
  const { callee } = node
  if (callee.type !== 'MemberExpression' || callee.property.type !== 'Identifier' || callee.computed) return
  const { name } = callee.property
  const to = methods[name]
  if (to && name !== 'push' && name !== 'unshift') add(callee.property, 'method', to)
  if (dropped.has(name) && !callee.optional) add(node, 'method', text(callee.object))
}

function chain(node: Extract<AnyNode, { type: 'ChainExpression' | 'MemberExpression' }>, { add, text }: Tools): void {
  if (node.type !== 'MemberExpression' || !node.optional) return
  const from = node.object.end
  const mark = text(node)
    .slice(from - node.start)
    .indexOf('?.')
  if (mark < 0) return
  const at = from + mark
  add({ start: at, end: at + 2 }, 'chain', node.computed ? '' : '.')
}

function literal(node: Extract<AnyNode, { type: 'Literal' }>, { add }: Tools): void {
  if (typeof node.value === 'boolean') add(node, 'boolean', String(!node.value))
  if (typeof node.value === 'string') add(node, 'string', node.value === '' ? "'mutated'" : "''")
}

/** Where the operator stands between two operands. */
function between(left: Node, right: Node, { text }: Tools, sign: string): { start: number; end: number } {
  const gap = text({ start: left.end, end: right.start } as Node)
  // Parentheses and blanks are all that can be before it.
  const start = left.end + gap.indexOf(sign)
  return { start, end: start + sign.length }
}
