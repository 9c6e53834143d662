import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Static } from 'typebox'
import Value from 'typebox/value'
import type { ClientHello, ClientRequest, ServerMessage } from './frame.ts'
import { type hello, requests, type serverMessage } from './frame-schemas.ts'

/** Compiles only if whatever the one allows, the other allows. */
type Agrees<One extends Other, Other> = One
type Requests = { [Type in keyof typeof requests]: Static<(typeof requests)[Type]> }[keyof typeof requests]
export type HelloFits = Agrees<Static<typeof hello>, ClientHello>
export type HelloCovers = Agrees<ClientHello, Static<typeof hello>>
export type RequestsFit = Agrees<Requests, ClientRequest>
export type RequestsCover = Agrees<ClientRequest, Requests>
export type MessagesCover = Agrees<Exclude<ServerMessage, { type: 'reply' }>, Static<typeof serverMessage>>

test('every type of request has a schema that takes its least message', () => {
  const least: Record<ClientRequest['type'], object> = {
    renew: {},
    acquire: { name: 'a' },
    acquire_all: { locks: [{ name: 'a' }] },
    release: { name: 'a', token: 1 },
    release_all: { grants: [{ name: 'a', token: 1 }] },
    cancel: { request_id: 1 },
    transfer: { name: 'a', token: 1, to_session: 's' },
    validate: { name: 'a', token: 1 },
    value: { name: 'a' },
    write_value: { name: 'a', token: 1, value: '' },
    show: { name: 'a' },
    queue: { name: 'a' },
    watch: {},
    unwatch: { watch: 1 },
    close: {},
  }
  for (const [type, fields] of Object.entries(least)) {
    // The keys of `least` are those of `requests`, which the annotation above checks.
    const schema = requests[type as keyof typeof requests]
    assert.ok(Value.Check(schema, { type, id: 1, ...fields }), type)
    assert.ok(!Value.Check(schema, { type, id: 1, ...fields, extra: 1 }), `${type} takes an unknown field`)
    assert.ok(!Value.Check(schema, { type, ...fields }), `${type} takes no id`)
  }
})
