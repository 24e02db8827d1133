import sys, time
sys.path.insert(0,'/work/main/tests/simulation')
import pytest
from collections import Counter
import numpy as np
exec(open('/work/main/tests/simulation/test_tormentor.py').read().split('# ------------------------------------------------------------------ ideal')[0])
from troth.crypto.puzzles import expected_hashes
SMOOTHS={'s':'update = "gradient"\nbatch_size = "all"\nlearning_rate = 0.1','m':'update = "gradient"\nbatch_size = "all"\nlearning_rate = 0.4','l':'update = "gradient"\nbatch_size = 32\nlearning_rate = 0.5'}
POISONED=('[network]\nlatency = 0.05\n[cost]\nkind = "fixed"\nseconds = { solve_puzzle = 1e-5, local_update = 0.05 }\n' + QUICK)
def test_x(scenario_file, simulated):
  rj='[[attacks]]\nkind = "rejoin"\nfraction = 0.75\n'; st=rj.replace('rejoin','label_flip')
  for tr in ('m','l'):
   for th in (0.1,):
    for name,att,keys in (('stay',st,{}),('paper',rj,{'admission_difficulty':2}),('ours',rj,{}),('prob',rj,{'probation':10})):
     for seed in (1,2,3):
      t=time.time()
      k=protocol(verifiers=f'[{{ kind = "roni", share = 0.1, threshold = {th} }}]', validation_fraction=0.3,time_s=60.0, **keys).replace("difficulty = 1","difficulty = 2")
      run=simulated(scenario_file(k,POISONED+att,parties=8,rounds=1000,training=SMOOTHS[tr],seed=seed),["task.data=breast_cancer","task.model=logistic"])
      try: run.go()
      except Exception as e: print(tr,th,name,seed,'ERR',e); continue
      a=set(run.stage.attackers)
      acc=Counter(p in a for r in run.records for p in r.accepted); rej=Counter(r.node in a for rec in run.records for r in rec.rejected)
      w=Counter()
      for p in run.stage.parties: w[p in a]+=run.world.nodes[p].work.get('solve_puzzle',0)
      es=[r.metrics.error for r in run.records]
      print(tr,th,name,seed,'acc',acc[False],acc[True],'rej',rej[False],rej[True],'cost %.0f %.0f'%(w[False]/max(1,acc[False]),w[True]/max(1,acc[True])),'share %.2f'%(acc[True]/acc.total()),'err mean2nd %.2f last %.2f'%(np.mean(es[len(es)//2:]),es[-1]),'%.0fs'%(time.time()-t),flush=True)
