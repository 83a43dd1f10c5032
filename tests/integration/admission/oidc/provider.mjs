// An OpenID provider for the tests: JWT access tokens (RFC 9068) by the client credentials grant.
// Standard input: one JSON object with the port, the private JWK set, the audience, the clients.
import { readFileSync } from 'node:fs';
import { Provider } from 'oidc-provider';

const { port, jwks, audience, algorithm, clients } = JSON.parse(readFileSync(0, 'utf8'));

const resource = {
  audience,
  scope: 'predict jobs admin',
  accessTokenFormat: 'jwt',
  accessTokenTTL: 600,
  jwt: { sign: { alg: algorithm } },
};

const provider = new Provider(`http://127.0.0.1:${port}`, {
  jwks,
  clients: clients.map((name) => ({
    client_id: name,
    client_secret: `${name}-secret`,
    grant_types: ['client_credentials'],
    redirect_uris: [],
    response_types: [],
  })),
  scopes: ['openid', 'predict', 'jobs', 'admin'],
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => audience,
      getResourceServerInfo: () => resource,
      useGrantedResource: () => true,
    },
  },
});

provider.listen(port, '127.0.0.1', () => console.log('listening'));
