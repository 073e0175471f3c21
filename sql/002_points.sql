-- What a run measured step by step. A step told again replaces what it said; `id` is the order in which points came.
create table points (
  id integer primary key autoincrement,
  run text not null references runs (id),
  series text not null,
  name text not null,
  step integer not null,
  value real,
  at integer not null,
  unique (run, series, name, step)
);
create index points_run on points (run);
