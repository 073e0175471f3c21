-- Everything durable is a row first. Times are epoch milliseconds, payloads text JSON.
create table table_versions (
  name text not null,
  version integer not null,
  digest text not null,
  manifest_sha256 text not null,
  rows integer not null,
  created integer not null,
  primary key (name, version)
);
create index table_versions_digest on table_versions (name, digest);

create table runs (
  id text primary key,
  name text not null,
  command text not null,
  status text not null check (status in ('running', 'deployed', 'registered', 'refused', 'done', 'failed', 'interrupted')),
  config text not null,
  git_commit text,
  git_dirty integer,
  pid integer not null,
  started integer not null,
  finished integer,
  result text,
  error text
);
create index runs_started on runs (started);

-- A step is one stage of a run. A finished one is found again by (stage, digest of its inputs) and not redone.
create table steps (
  run text not null references runs (id),
  stage text not null,
  digest text not null,
  status text not null check (status in ('running', 'done', 'failed', 'interrupted')),
  cached integer not null default 0,
  started integer not null,
  finished integer,
  seconds real,
  cpu_seconds real,
  peak_memory_mb real,
  output text,
  error text,
  primary key (run, stage)
);
create index steps_digest on steps (stage, digest, status);

create table model_versions (
  name text not null,
  version integer not null,
  digest text not null,
  status text not null check (status in ('registered', 'refused')),
  run text,
  manifest text not null,
  created integer not null,
  primary key (name, version)
);

create table aliases (
  model text not null,
  alias text not null,
  version integer not null,
  moved integer not null,
  primary key (model, alias),
  foreign key (model, version) references model_versions (name, version)
);

create table alias_moves (
  id integer primary key,
  model text not null,
  alias text not null,
  from_version integer,
  to_version integer not null,
  reason text not null,
  moved integer not null
);

-- Every verdict looks at test rows; later looks at the same bars are worth less.
create table looks (
  id integer primary key,
  run text not null references runs (id),
  symbols text not null,
  timeframe text not null,
  test_from integer not null,
  test_to integer not null,
  looked integer not null
);
