import assert from 'node:assert/strict'
import { test } from 'node:test'
import { policyRecord } from '../registry/testing.ts'
import { customRoleMisfit, policyMisfit, rolesMisfit } from './fitness.ts'

const fieldOf = (fields: Partial<ReturnType<typeof policyRecord>>) =>
  policyMisfit(policyRecord({ id: 'p', roles: ['reader'], ...fields }), id => id === 'mine')?.field ?? null

test('a policy of what there is is fit, and one word that means nothing makes it unfit', () => {
  assert.equal(fieldOf({}), null)
  assert.equal(fieldOf({ roles: ['mine', 'crn:v1:bluemix:public:iam::::role:Viewer'] }), null)
  const subjects = ['key:k-1', 'oidc:corp:me@x', 'group:ops', '*', 'iam:IBMid-1', 'cert:a.example']
  assert.equal(fieldOf({ subjects }), null)
  for (const bad of ['', 'key:', 'root', '**', 'k', 'key:a\nb'])
    assert.equal(fieldOf({ subjects: [bad] }), 'subjects', bad)
  for (const bad of ['other', 'constructor', 'Reader']) assert.equal(fieldOf({ roles: [bad] }), 'roles', bad)
  for (const bad of ['', '\ud800', '*********']) assert.equal(fieldOf({ locks: [bad] }), 'locks', bad)
  assert.equal(fieldOf({ conditions: { sources: ['::/0', '10.0.0.0/40'] } }), 'conditions.sources')
})

test('a custom role may not be called like a built-in one', () => {
  assert.equal(customRoleMisfit({ id: 'mine' }), null)
  assert.equal(customRoleMisfit({ id: 'writer' })?.field, 'id')
  assert.equal(
    rolesMisfit(['writer'], () => false),
    null,
  )
})
